"""Where files lie: on disks, in object stores, in tars and behind addresses."""
