"""Many studies from one: what a campaign file means, how its tasks are started anywhere, and where they stand.

`keys` is the file, `points` the grid, `steps` what is started for a point, `jobs` how one task is carried out,
`executors` who carries them out, `orphans` what ends with a campaign that is killed, `standing` the record of all,
`rows` the table that is collected.
"""
