# Runs a builder that is written in Perl.
exec perl "$program"
