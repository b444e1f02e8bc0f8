"""Pictures to look at: channels, comparisons, camera paths, key frames."""
