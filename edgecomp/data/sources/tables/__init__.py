"""Tables with a column of inputs and one of labels: files, and data sets of the Hugging Face hub."""
