"""The ayllu: machines that find each other, measure themselves and share models.

Every machine owns one record of itself and a certificate of the ayllu; there is no master, no
election and no log of events.
"""
