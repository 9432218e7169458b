"""Raw seconds of media on disk, and towers trained on them as a kind of features."""
