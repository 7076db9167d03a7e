# Results of two runtimes as one table, their check against the reasons, and the document. For `run`, which sources it.
# A joined table has a line for each test: SUITE <tab> TEST <tab> orlop's outcome <tab> runc's outcome <tab> why orlop skips or fails
# shellcheck shell=bash

# joined SUITE ORLOPS-RESULTS RUNCS-RESULTS
joined() {
	awk -F'\t' -v OFS='\t' -v suite="$1" '
		phase == 1 { runc[$1] = $2; next }
		{ orlop[$1] = 1; print suite, $1, $2, ($1 in runc ? runc[$1] : "fail"), $4 }
		END { for (test in runc) if (!(test in orlop)) print suite, test, "fail", runc[test], "no result: out of time" }' phase=1 "$3" phase=2 "$2"
}

# better RESULTS NEW-RESULTS
# RESULTS, with what passed when it was tried again.
better() {
	awk -F'\t' 'phase == 1 { if ($2 == "pass") now[$1] = $0; next } { print ($1 in now ? now[$1] : $0) }' phase=1 "$2" phase=2 "$1"
}

# The words of `lane` for tests by name, from the standard input.
again_word() { # SUITE
	if [ "$1" = runc-bats ]; then sed 's/: /:/'; else cat; fi
}

# judged SUITE JOINED REASONS WHOLE
# What breaks the rule of reasons: `unexplained`, `stale` or `unknown`, a tab, and the test. The last needs a complete run (WHOLE).
judged() {
	awk -F'\t' -v OFS='\t' -v suite="$1" -v whole="$4" '
		/^#/ || NF < 4 { next }
		phase == 1 { if ($1 == suite) reason[$2] = 1; next }
		$1 == suite {
			seen[$2] = 1
			if ($3 == "fail" && !($2 in reason)) print "unexplained", $2
			if ($3 == "skip" && $4 == "pass" && !($2 in reason)) print "unexplained", $2
			if ($3 == "pass" && $2 in reason) print "stale", $2
		}
		END { if (whole) for (test in reason) if (!(test in seen)) print "unknown", test }' phase=1 "$3" phase=2 "$2"
}

# changed SUITE JOINED RECORDED
# Tests with another outcome for orlop than the recorded one, as `judged` prints them.
changed() {
	awk -F'\t' -v OFS='\t' -v suite="$1" '
		phase == 1 { if ($1 == suite) recorded[$2] = $3; next }
		$2 in recorded && recorded[$2] != $3 { print "changed", $2 }' phase=1 "$3" phase=2 "$2"
}

# print_table SUITE JOINED
print_table() {
	awk -F'\t' -v suite="$1" '
		{ total++; orlop[$3]++; runc[$4]++ }
		$3 != $4 || $3 == "fail" { printf "%-8s %-8s %s%s\n", $3, $4, $2, ($5 == "" ? "" : " (" $5 ")") }
		END {
			printf "%s: %d tests; orlop passes %d, fails %d, skips %d; runc passes %d, fails %d, skips %d\n", suite, total,
				orlop["pass"], orlop["fail"], orlop["skip"], runc["pass"], runc["fail"], runc["skip"]
		}' "$2"
}

# record_suite SUITE JOINED CIRCUMSTANCES RECORDED
record_suite() {
	local new
	new=$(mktemp)
	{
		echo "# $3"
		{
			[ ! -e "$4" ] || awk -F'\t' -v suite="$1" '!/^#/ && $1 != suite' "$4"
			awk -F'\t' -v OFS='\t' '{ print $1, $2, $3, $4, ($3 == "skip" ? $5 : "") }' "$2"
		} | sort -t "$(printf '\t')" -s -k1,1r
	} >"$new"
	cp "$new" "$4"
	rm -f "$new"
}

# write_document RECORDED REASONS
write_document() {
	cat <<-'END'
		# Suites of others

		Written by `tests/suites/run --record`; do not edit. What the suites are and how they run: [tests/README.md](../tests/README.md#suites-of-others).
	END
	awk -F'\t' '
		function cell(text) { gsub(/\\/, "\\\\", text); gsub(/\|/, "\\|", text); gsub(/</, "\\&lt;", text); return text }
		BEGIN {
			title["runtime-tools"] = "runtime-tools"
			title["runc-bats"] = "runc'"'"'s integration tests"
			means["suite"] = "the suite contradicts the specification, or itself"
			means["text"] = "the suite looks for a text of runc"
			means["host"] = "this host, or a host without network, cannot"
			means["policy"] = "orlop refuses on purpose (SECURITY.md)"
			means["callers"] = "orlop does as runc does, because its callers rely on it"
			means["to fix"] = "to be fixed"
		}
		phase == 1 && /^#/ { next }
		phase == 1 && NF >= 4 { class[$1, $2] = $3; reason[$1, $2] = $4; next }
		phase == 1 { next }
		/^# / { print "\nRecorded with " substr($0, 3) "."; next }
		{
			if (!($1 in count)) order[++suites] = $1
			n = ++count[$1]
			test[$1, n] = $2; orlop[$1, n] = $3; runc[$1, n] = $4; skip[$1, n] = $5
			tally[$1, "orlop", $3]++; tally[$1, "runc", $4]++
		}
		END {
			for (s = 1; s <= suites; s++) {
				suite = order[s]
				print "\n## " title[suite] "\n"
				print "| | passed | failed | skipped |\n| --- | --- | --- | --- |"
				for (r = 1; r <= 2; r++) {
					who = r == 1 ? "orlop" : "runc"
					printf "| %s | %d | %d | %d |\n", who, tally[suite, who, "pass"], tally[suite, who, "fail"], tally[suite, who, "skip"]
				}
				print "\n### What orlop does not pass\n"
				print "| test | orlop | runc | kind | why |\n| --- | --- | --- | --- | --- |"
				for (n = 1; n <= count[suite]; n++) {
					key = suite SUBSEP test[suite, n]
					if (key in reason) {
						if (!(class[key] in means)) { print "reasons: unknown kind " class[key] > "/dev/stderr"; exit 1 }
						printf "| %s | %s | %s | %s | %s |\n", cell(test[suite, n]), orlop[suite, n], runc[suite, n], class[key], cell(reason[key])
					}
				}
				print "\n### All tests\n"
				print "| test | orlop | runc | skipped because |\n| --- | --- | --- | --- |"
				for (n = 1; n <= count[suite]; n++)
					printf "| %s | %s | %s | %s |\n", cell(test[suite, n]), orlop[suite, n], runc[suite, n], cell(skip[suite, n])
			}
			print "\n## Kinds\n"
			for (i = 1; i <= split("suite,text,host,policy,callers,to fix", kinds, ","); i++) print "- *" kinds[i] "*: " means[kinds[i]]
		}' phase=1 "$2" phase=2 "$1"
}

# Outcomes, one a line, as the closing line of a test program.
counts() {
	awk '{ n[$1]++ } END { printf "%d passed, %d failed, %d skipped\n", n["pass"], n["fail"], n["skip"] }'
}
