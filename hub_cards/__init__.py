"""Model, dataset and metric card templates, and the code that fills them from measured results."""
