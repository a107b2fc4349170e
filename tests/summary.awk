# Reads what `cargo test -- --show-output` prints and keeps it short: the output of tests that passed is left out, but
# at the end stands every test that was skipped, with its reason. With `-v tables=1` the rows of the parity table
# (`parity | what | cases | deviation | tolerance | verdict`) stand at the end instead, sorted, and it is an error if
# there is none.

# The name of a row, without the blanks that fill it up.
function what(row) {
    sub(/ *\|.*/, "", row)
    return row
}

/^successes:$/ { hidden = 1; next }
/^failures:$/ { hidden = 0 }
/^test result:/ {
    hidden = 0
    for (field = 1; field <= NF; field++)
        if ($(field + 1) ~ /^passed/) passed += $field
        else if ($(field + 1) ~ /^failed/) failed += $field
}
/^---- .* stdout ----$/ { name = $2 }
/^parity \| / {
    row = substr($0, 10)
    # Kept in order, so that the table reads the same whatever test ended first.
    for (at = ++rows; at > 1 && table[at - 1] > row; at--) table[at] = table[at - 1]
    table[at] = row
    if (row ~ / MISSED at /) missed++
}
hidden && /^skipped/ && !seen[name $0]++ { skipped[++count] = name ": " $0 }
hidden { next }
tables && (/^test / || /^running / || /^test result:/ || /^$/) && !/FAILED/ { next }
{ print; fflush() }

END {
    if (tables) {
        for (i = 1; i <= rows; i++) {
            name = what(table[i])
            if (length(name) > width) width = length(name)
        }
        printf "\n%-" width "s | %11s | %9s | %7s | %s\n", "what", "cases", "deviation", "allowed", "verdict"
        for (i = 1; i <= rows; i++) {
            name = what(table[i])
            printf "%-" width "s %s\n", name, substr(table[i], index(table[i], " | ") + 1)
        }
        printf "\n%d rows, %d missed\n", rows, missed
    }
    printf "\n%d tests passed, %d failed, %d skipped something\n", passed, failed, count
    for (i = 1; i <= count; i++) print "  " skipped[i]
    if (tables && rows == 0) {
        print "no test printed a row of the table"
        exit 1
    }
}
