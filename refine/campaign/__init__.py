"""Many studies from one: what a campaign file means, how its tasks are started anywhere, and where they stand.

`keys` is the file, `points` the grid, `steps` what is started for a point, `jobs` how one task is carried out,
`local` and `site` who carries them out, `standing` the record of all, `rows` the table that is collected.
"""
