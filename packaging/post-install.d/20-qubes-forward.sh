#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Tells dom0 that qubes of this template can be hops of a forward. It is run, with the
# other files here, after packages of the template have changed; one of Qubes that
# comes later sends off what all of them said. A configuration file is left when its
# Debian package is removed and not purged, so this looks for the program.
if [ -x /usr/bin/qubes-forward-agent ]; then
    qvm-features-request supported-service.qubes-forward=1
fi
