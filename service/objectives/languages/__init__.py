"""Other languages of objectives, read and written: OpenSLO, Sloth, Prometheus rules.

`convert.convert` is the door. What may stand in a document is data (`openslo_fields`,
`sloth_fields`); between the languages stands one typed promise, `service_level.ServiceLevel`.
"""
