"""Exit statuses; BEYOND is a check that failed."""

OK, BEYOND, USAGE, FAILED, DISK_FULL, INTERRUPTED = 0, 1, 2, 3, 4, 130
