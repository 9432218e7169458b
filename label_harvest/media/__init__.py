"""A media file -> frames and waveform on the segment grid, whatever the file is."""
