# One section's raw numbers (case, who, key=value...; separated by tabs) as a Markdown table: the median of each
# measurement, for the ones that matter most with the least and the greatest, and its ratio to the best of the other
# people's programs in the same case ("x peer") or to what the bare system calls reach ("x limit").

function add(key, value) {
	n[key]++
	all[key, n[key]] = value + 0
}

function median(key,   i, j, t) {
	if (!n[key])
		return ""
	if (!(key in sorted)) {
		sorted[key] = 1
		for (i = 2; i <= n[key]; i++) {
			t = all[key, i]
			for (j = i - 1; j >= 1 && all[key, j] > t; j--)
				all[key, j + 1] = all[key, j]
			all[key, j + 1] = t
		}
	}
	i = int((n[key] + 1) / 2)
	return n[key] % 2 ? all[key, i] : (all[key, i] + all[key, i + 1]) / 2
}

function show(x) {
	if (x == "")
		return "-"
	return sprintf(x == int(x) || x >= 100 ? "%.0f" : x >= 10 ? "%.1f" : x >= 0.1 ? "%.2f" : "%.3f", x)
}

function range(key,   m) {
	m = show(median(key))
	return n[key] > 1 ? m " (" show(all[key, 1]) ".." show(all[key, n[key]]) ")" : m
}

function ratio(a, b) {
	return a == "" || b == "" || b + 0 == 0 ? "-" : sprintf("%.2f", a / b)
}

function is_peer(who) {
	return who !~ /^(ours|nosync|null|bare|limit|ours-.*|.*-ours)$/
}

# One cell: column `name` of who in case c.
function cell(name, c, who,   id, calm) {
	id = c SUBSEP who SUBSEP
	calm = c
	sub(/, [0-9.]+ %/, ", 0 %", calm)
	if (name == "case")
		return c
	if (name == "who")
		return who
	if (name == "failed")
		return failed[c, who] + 0
	if (name == "x peer")
		return ratio(median(id "rate"), best)
	if (name == "x limit")
		return ratio(median(id "rate"), median(c SUBSEP "limit" SUBSEP "rate"))
	if (name == "cpu x peer")
		return ratio(median(id "cpu"), cheap)
	if (name == "x no loss")
		return ratio(median(calm SUBSEP who SUBSEP "rate"), median(id "rate"))
	if (name == "busy/idle")
		return ratio(median(c SUBSEP who SUBSEP "p99"), median("idle" SUBSEP who SUBSEP "p99"))
	return name ~ /^(rate|cpu|sent|p99|ready_ms|us_per_turn|dup)$/ ? range(id name) : show(median(id name))
}

{
	split("", v)
	sub(/ # .*/, "", $3)
	count = split($3, words, " ")
	for (i = 1; i <= count; i++) {
		split(words[i], kv, "=")
		v[kv[1]] = kv[2]
	}
	if (!(($1) in seen)) {
		seen[$1] = 1
		cases[++ncases] = $1
	}
	if (!(($1, $2) in seen)) {
		seen[$1, $2] = 1
		whos[$1] = whos[$1] " " $2
	}
	id = $1 SUBSEP $2
	if (v["status"] == "dead" || (v["fail"] == "" && $2 != "limit" && section != "idle")) {
		failed[id]++
		next
	}
	failed[id] += v["fail"]
	ok[id] += v["ok"]
	id = id SUBSEP
	small = section == "small"
	if ((small ? "rps" : "mbs") in v)
		add(id "rate", small ? v["rps"] : v["mbs"])
	if ("scpu" in v && (small ? v["ok"] : v["bytes"]) > 0)
		add(id "cpu", small ? v["scpu"] * 1e6 / v["ok"] : v["scpu"] * 1e9 / v["bytes"])
	if ("smem" in v)
		add(id "mem", v["smem"] / 1024)
	if ("rss" in v)
		add(id "resident", v["rss"] / 1024)
	k = split("p50 p99 max resent dup win blk sent gap_min gap_max wakeups ready_ms us_per_turn", names, " ")
	for (i = 1; i <= k; i++) {
		if (names[i] in v)
			add(id names[i], v[names[i]])
	}
}

END {
	title["limits"] = "What the machine can do"
	title["lockstep"] = "Lockstep GET, one client, by block size"
	title["window"] = "Windowed GET at 1428, one client, by window and receiver"
	title["many"] = "Many GETs at once at 1428"
	title["small"] = "Files of 1 KiB, 64 at a time"
	title["put"] = "PUT at 1428, by clients and window"
	title["loss"] = "Through the link emulator at 1428 (client-server; tftp-hpa's client at 512)"
	title["patience"] = "Slow clients: how often and when blocks are repeated"
	title["client"] = "Clients against the null server, by block size and window"
	title["fair"] = "100 small GETs, one each 10 ms, the server idle, then with a windowed GET and a PUT running"
	title["idle"] = "Idle"
	columns["limits"] = "case,rate,us_per_turn"
	columns["loss"] = "case,who,rate,x peer,x no loss,sent,cpu,failed"
	columns["patience"] = "case,who,dup,gap_min,gap_max,failed"
	columns["client"] = "case,who,rate,x peer,cpu,cpu x peer,mem,failed"
	columns["fair"] = "case,who,p50,p99,max,busy/idle,failed"
	columns["idle"] = "who,wakeups,resident,ready_ms"
	usual = "case,who,rate,x peer,x limit,cpu,cpu x peer,mem,p50,p99,max,resent,dup,win,blk,failed"
	header["rate"] = section == "small" ? "requests/s" : "MB/s"
	header["cpu"] = section == "small" ? "CPU us/request" : "CPU s/GB"
	header["mem"] = "peak MiB"
	header["p50"] = "p50 ms"
	header["p99"] = "p99 ms"
	header["max"] = "max ms"
	header["us_per_turn"] = "us per turn"
	header["sent"] = "sent / file"
	header["gap_min"] = "shortest wait, ms"
	header["gap_max"] = "longest wait, ms"
	header["busy/idle"] = "p99 x idle"
	header["wakeups"] = "wake-ups"
	header["resident"] = "resident MiB"
	header["ready_ms"] = "first answer, ms"
	k = split(section in columns ? columns[section] : usual, col, ",")
	print "\n### " title[section] "\n"
	top = rule = "|"
	for (i = 1; i <= k; i++) {
		top = top " " (col[i] in header ? header[col[i]] : col[i]) " |"
		rule = rule (col[i] ~ /^(case|who)$/ ? "---|" : "--:|")
	}
	print top "\n" rule
	for (c = 1; c <= ncases; c++) {
		m = split(whos[cases[c]], who, " ")
		best = cheap = ""
		for (i = 1; i <= m; i++) {
			id = cases[c] SUBSEP who[i]
			# One that fails most of the time is not the one to beat.
			if (!is_peer(who[i]) || (section !~ /^(loss|client)$/ && failed[id] > ok[id]))
				continue
			if ((x = median(id SUBSEP "rate")) != "" && (best == "" || x > best))
				best = x
			if ((x = median(id SUBSEP "cpu")) != "" && (cheap == "" || x < cheap))
				cheap = x
		}
		for (i = 1; i <= m; i++) {
			line = "|"
			for (j = 1; j <= k; j++)
				line = line " " cell(col[j], cases[c], who[i]) " |"
			print line
		}
	}
}
