# Owns one server and its directory, and outlives the test process by a moment.
#
#   sh -c <this file> supervisor DIRECTORY LAST_SIGNAL PROGRAM [ARGUMENT]...
#
# Reads one command per line from standard input and answers each with one line. Standard input is
# a pipe whose only writer is the test process, so its end means that the process is gone, even if
# it was killed: then the server gets LAST_SIGNAL, and the directory is removed.

directory=$1
last_signal=$2
shift 2
pid=

is_running() {
    [ -n "$pid" ] || return 1
    jobs >/dev/null # collects the server if it has ended, otherwise its number would still answer
    kill -0 "$pid" 2>/dev/null
}

start() {
    while :; do
        : >"$directory/log" # here, or the search below could find what an earlier start has written
        "$@" </dev/null >>"$directory/log" 2>&1 &
        pid=$!
        while is_running; do
            # A standby of PostgreSQL is ready to accept read-only connections.
            if grep -q 'eady to accept .*connections' "$directory/log"; then
                echo "running $pid"
                return
            fi
            attempts=$((attempts - 1))
            if [ "$attempts" -le 0 ]; then
                echo "late"
                return
            fi
            sleep 0.01
        done
        pid=
        # After a kill the backends of PostgreSQL need a moment to notice; until then it refuses to start.
        if [ "$attempts" -le 0 ] || ! grep -q 'is still in use' "$directory/log"; then
            echo "ended"
            return
        fi
        attempts=$((attempts - 10))
        sleep 0.05
    done
}

end() {
    kill -s "$1" "$pid" 2>/dev/null
    kill -s CONT "$pid" 2>/dev/null # a paused server sees no other signal
    attempts=2000
    while is_running; do
        # A signal that comes before the program has set its handlers is lost, and so is patience.
        attempts=$((attempts - 1))
        if [ "$attempts" -le 0 ]; then kill -s KILL "$pid" 2>/dev/null; fi
        sleep 0.01
    done
    pid=
}

while read -r command argument; do
    case $command in
    start)
        attempts=4000 # of 10 ms and a little work each: about a minute
        if is_running; then echo "running $pid"; else start "$@"; fi
        ;;
    end)
        if is_running; then end "$argument"; fi
        echo "ended"
        ;;
    signal)
        if is_running && kill -s "$argument" "$pid" 2>/dev/null; then echo "done"; else echo "ended"; fi
        ;;
    esac
done

if is_running; then end "$last_signal"; fi
# A second time for files that a program was just writing.
rm -rf -- "$directory" || rm -rf -- "$directory"
