# 'make install' puts everything in its place, and what is installed finds its embedded files from any folder.
case $TAPETUM in "$ROOT"/build/release/tapetum) ;; *) skip "installs the release build alone" ;; esac
env -u MAKEFLAGS -u MAKELEVEL make -s -C "$ROOT" install DESTDIR="$PWD/i" PREFIX=/usr >install.txt 2>&1 ||
    fail "make install: $(tail -3 install.txt)"
for file in bin/tapetum include/tapetum.h lib/libtapetum.a lib/pkgconfig/tapetum.pc share/man/man1/tapetum.1 \
    share/doc/tapetum/README.md share/doc/tapetum/docs/README.md share/tapetum/organism/compensating/model.safetensors \
    share/tapetum/organism/scenes/items.tsv share/tapetum/tables/synonyms.tsv; do
    [ -s "i/usr/$file" ] || fail "$file is not installed"
done
# The demo starts on its first image and is then told to stop.
i/usr/bin/tapetum demo -o d -q >demo.txt 2>&1 &
demo=$!
for _ in $(seq 600); do
    [ -s d/compensating.db ] && break
    kill -0 $demo 2>/dev/null || break
    sleep 0.1
done
kill -INT $demo 2>/dev/null
wait $demo || true
grep -q "model: $PWD/i/usr/.*share/tapetum/organism/compensating" d/compensating.yaml || fail "the installed demo did not find its files: $(cat demo.txt)"
