# awk -v shell=bash|zsh|fish -v program=NAME -v names="NAME..." -f completions.awk: reads the program's --help, which is
# printed from its option table, and writes a completion for that shell.

function quote(text) {
	gsub(/'/, "'\\''", text)
	return "'" text "'"
}

# The words of "a|b|c" that are typed as they stand, not placeholders, which are in capitals.
function words(arg,    part, n, i, out) {
	n = split(arg, part, "|")
	for (i = 1; i <= n; i++)
		if (part[i] ~ /^[a-z][a-z0-9]*$/)
			out = out (out == "" ? "" : " ") part[i]
	return out
}

# What would end a part of zsh's specification. (A bracket expression for these is beyond mawk.)
function escape(text) {
	gsub(/\\/, "\\\\\\\\", text)
	gsub(/\[/, "\\[", text)
	gsub(/\]/, "\\]", text)
	gsub(/:/, "\\:", text)
	return text
}

function takes_file(arg) {
	return arg ~ /FILE|PATH|DIR/
}

/^  -[^ ,]/ || /^      --/ {
	rest = $0
	sub(/^ +/, "", rest)
	letter = name = arg = ""
	if (rest ~ /^-[^-]/) {
		letter = substr(rest, 2, 1)
		rest = substr(rest, 3)
		sub(/^, /, "", rest)
	}
	if (rest ~ /^--/) {
		match(rest, /^--[a-z0-9-]+/)
		name = substr(rest, 3, RLENGTH - 2)
		rest = substr(rest, RLENGTH + 1)
	}
	# One blank and a value, or many and the help.
	if (rest ~ /^ [^ ]/) {
		match(rest, /^ ("[^"]*"|'[^']*'|[^ ]+)/)
		arg = substr(rest, 2, RLENGTH - 1)
		rest = substr(rest, RLENGTH + 1)
	}
	sub(/^ +/, "", rest)
	n++
	letters[n] = letter
	longs[n] = name
	args[n] = arg
	helps[n] = rest
}

function option_words(    i, out) {
	for (i = 1; i <= n; i++) {
		if (letters[i] != "")
			out = out " -" letters[i]
		if (longs[i] != "")
			out = out " --" longs[i]
	}
	return substr(out, 2)
}

function bash(    i, pattern, what) {
	print "_" program "() {"
	print "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}"
	print "\tCOMPREPLY=()"
	print "\tcase $prev in"
	for (i = 1; i <= n; i++) {
		if (args[i] == "")
			continue
		pattern = letters[i] != "" ? "-" letters[i] : ""
		if (longs[i] != "")
			pattern = pattern (pattern != "" ? "|" : "") "--" longs[i]
		what = ""
		if (words(args[i]) != "")
			what = what " -W " quote(words(args[i]))
		if (takes_file(args[i]))
			what = what " -f"
		if (what != "")
			what = " mapfile -t COMPREPLY < <(compgen" what " -- \"$cur\");"
		print "\t" pattern ")" what " return ;;"
	}
	print "\tesac"
	print "\tcase $cur in"
	print "\t-*) mapfile -t COMPREPLY < <(compgen -W " quote(option_words()) " -- \"$cur\") ;;"
	print "\t*) mapfile -t COMPREPLY < <(compgen " (program == "tftpd" ? "-d" : "-f") " -- \"$cur\") ;;"
	print "\tesac"
	print "}"
	print "complete -o filenames -F _" program " " names
}

function zsh(    i, help, arg, spec, action) {
	print "#compdef " names
	print "_arguments -s -S \\"
	for (i = 1; i <= n; i++) {
		help = helps[i]
		arg = args[i]
		help = escape(help)
		arg = escape(arg)
		action = words(args[i]) != "" ? "(" words(args[i]) ")" : " "
		if (takes_file(args[i]))
			action = "_files"
		spec = "[" help "]" (args[i] != "" ? ":" arg ":" action : "")
		if (letters[i] != "")
			print "\t" quote("*-" letters[i] (args[i] != "" ? "+" : "") spec) " \\"
		if (longs[i] != "")
			print "\t" quote("*--" longs[i] (args[i] != "" ? "=" : "") spec) " \\"
	}
	print "\t'*:" (program == "tftpd" ? "directory:_files -/" : "file:_files") "'"
}

function fish(    i, j, name, line, part) {
	j = split(names, part, " ")
	for (name = 1; name <= j; name++)
		for (i = 1; i <= n; i++) {
			line = "complete -c " part[name]
			if (letters[i] != "")
				line = line " -s " quote(letters[i])
			if (longs[i] != "")
				line = line " -l " longs[i]
			if (args[i] != "")
				line = line (takes_file(args[i]) ? " -r" : " -x")
			if (words(args[i]) != "")
				line = line " -a " quote(words(args[i]))
			print line " -d " quote(helps[i])
		}
}

END {
	if (n == 0) {
		print "completions.awk: no options in the help of " program >"/dev/stderr"
		exit 1
	}
	if (shell == "bash")
		bash()
	else if (shell == "zsh")
		zsh()
	else
		fish()
}
