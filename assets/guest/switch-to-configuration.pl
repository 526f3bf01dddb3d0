#!/usr/bin/perl
# Switches this host to the system that the program belongs to: switch-to-configuration switch|boot|test|dry-activate
use strict;
use warnings;
print "not yet\n";
exit 1;
