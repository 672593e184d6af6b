def without_paths(text, known):
    return text
