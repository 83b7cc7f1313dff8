"""What the rooms share: records, the edges (config, paths, jsonl), and the one writer and reader of each text format."""
