"""What a reader opens: report, explorer, and the manifest of all files."""
