"""What a job needs of its machine: files, records, arrays, memory, cards."""
