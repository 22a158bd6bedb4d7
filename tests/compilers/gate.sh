#!/bin/sh
# A compiler that is the real one, which lies in its folder, too; but before it compiles a component that says SLOW, it
# leaves its process id there and waits until somebody writes to the gate.
PATH=/usr/bin:/bin
folder=${0%/*}
component="$folder/component.$$"
cat > "$component"
if grep -q SLOW "$component"; then
    echo $$ >> "$folder/pids"
    read -r _ < "$folder/gate"
fi
exec "$folder/wardroom" "$@" < "$component"
