#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds all packages into a directory: build.sh DIRECTORY. Nothing is fetched. RPMs are
# made for the releases of Fedora that are dom0 of Qubes OS 4.2 and 4.3; they differ in
# where Python looks for modules, and any other is `rpmbuild --rebuild` away.
set -eu

source=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$source/pyproject.toml")
tree=$work/qubes-forward-$version
mkdir "$tree" "$tree/docs"
for part in LICENSE README.md pyproject.toml src fleet packaging; do
    cp -R "$source/$part" "$tree/"
done
[ ! -d "$source/docs/man" ] || cp -R "$source/docs/man" "$tree/docs/"
rm -rf "$tree"/src/*.egg-info
find "$tree" -name __pycache__ -prune -exec rm -rf {} +

# The same sources make the same packages, whenever that is.
SOURCE_DATE_EPOCH=$(dpkg-parsechangelog -l "$tree/packaging/debian/changelog" \
    -S Timestamp)
export SOURCE_DATE_EPOCH

rm -f "$out"/*.deb "$out"/*.rpm
tar -C "$work" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 \
    --numeric-owner -czf "$work/qubes-forward-$version.tar.gz" "qubes-forward-$version"

for release in 37:3.11 41:3.13; do
    # Not --nodeps where RPM is at home: this is for machines on which dpkg is.
    rpmbuild -ba --quiet --nodeps "$tree/packaging/rpm/qubes-forward.spec" \
        --define "_topdir $work/rpm" --define "_sourcedir $work" \
        --define "_rpmdir $out" --define "_srcrpmdir $out" \
        --define "_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm" \
        --define "dist .fc${release%:*}" --define "forward_python ${release#*:}" \
        --define "use_source_date_epoch_as_buildtime 1" \
        --define "clamp_mtime_to_source_date_epoch 1" \
        --define "_buildhost localhost"
done

mv "$tree/packaging/debian" "$tree/"
(cd "$tree" && dpkg-buildpackage -b -us -uc) >"$work/deb.log" 2>&1 || {
    cat "$work/deb.log"
    exit 1
}
mv "$work"/*.deb "$out/"
