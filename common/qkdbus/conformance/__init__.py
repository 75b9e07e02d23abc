"""What any implementation of a layer must do, runnable against a live process."""
