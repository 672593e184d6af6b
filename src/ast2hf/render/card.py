def render(report, place, licence=None):
    return report.model
