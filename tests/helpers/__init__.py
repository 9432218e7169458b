"""What several tests share: toy clips, stores, trainings, pages, and plain versions to compare with."""
