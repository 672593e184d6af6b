"""What was measured: report.json, the terminal's table, the model card, the plot."""
