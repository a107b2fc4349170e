# Reads what `cargo test -- --show-output` prints and keeps it short: the output of tests that passed is left out, but
# at the end stands every test that was skipped, with its reason. With `-v tables=1` their output is shown instead,
# and it is an error if no test ran at all.

/^successes:$/ { hidden = 1; next }
/^failures:$/ { hidden = 0 }
/^test result:/ {
    hidden = 0
    for (field = 1; field <= NF; field++)
        if ($(field + 1) ~ /^passed/) passed += $field
        else if ($(field + 1) ~ /^failed/) failed += $field
}
hidden && /^---- .* stdout ----$/ { name = $2; next }
hidden && /^skipped/ { skipped[++count] = name ": " $0 }
hidden {
    # A list of names, indented by four, ends each section; the rest is what the tests printed.
    if (tables && $0 != "" && $0 !~ /^    [A-Za-z0-9_:]+$/) print
    next
}
tables && (/^test / || /^running / || /^$/) && !/FAILED/ { next }
{ print; fflush() }

END {
    printf "\n%d tests passed, %d failed, %d skipped something\n", passed, failed, count
    for (i = 1; i <= count; i++) print "  " skipped[i]
    if (tables && passed + failed == 0) {
        print "no test has this name"
        exit 1
    }
}
