"""On PYTHONPATH this hides the package of that name: flask run then looks at the files, as it does without it."""
