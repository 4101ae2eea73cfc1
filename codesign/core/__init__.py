"""Values shared by all rooms: number formats, precision maps, targets and parts, records, files, processes."""
