"""What everything rests on: errors, files, jobs, records of origin."""
