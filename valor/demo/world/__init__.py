"""What happens in the demo's clips, and how they become MP4 files."""
