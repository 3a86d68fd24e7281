"""ACCs in tasks and actors: turns what a program asks for into what Ray schedules by."""

from accel_scaling.accs.remote import bundle, get_acc_ids, options, remote

__all__ = ["bundle", "get_acc_ids", "options", "remote"]
