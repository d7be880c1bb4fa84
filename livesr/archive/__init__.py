"""Archives: folders, lists and buckets of recordings, scored on Ray Data into one dataset."""
