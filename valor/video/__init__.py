"""Any video or recording -> events: windows, a trained parser or the teachers alone, pictures and files."""
