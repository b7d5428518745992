"""Connected spoken digits with CTC: prepare, train, evaluate, stream, report."""
