/** What goes to an Elasticsearch and a Grafana that are somewhere else: where each is, its URL says, and whose user, too. */
import path from "node:path";
import { HOST } from "../place.ts";
import { withoutUser } from "../settings.ts";
import { plainService, type Service } from "./service.ts";

export interface LogsPlan {
	/** rsyslogd. */
	readonly program: string;
	/** Of Elasticsearch. */
	readonly url: string;
	/** Where the logs are, and a folder of its own. */
	readonly logs: string;
	readonly folder: string;
}

const LOGS = "rsyslog";

/**
 * Ships every log to an Elasticsearch, from its first line on: lines of JSON as they are, others in the same fields. While
 * it is away they wait in this service's folder, and are sent when it is back; those that rsyslog is trying to send while
 * it is told to stop, {@link LONGEST_BATCH} at most, may be lost.
 */
export function logsService({ program, url, logs, folder }: LogsPlan): Service {
	const file = path.join(folder, "rsyslog.conf");
	return {
		...plainService,
		name: LOGS,
		role: "logs",
		after: [],
		files: [{ path: file, text: rsyslogConfiguration(new URL(url), logs, folder) }],
		// -n: it stays in the foreground. -iNONE: the supervisor knows its pid.
		command: { program, args: ["-n", "-iNONE", "-f", file] },
		ready: async () => true,
		inspect: async () => ({ to: withoutUser(url) }),
	};
}

/** Lines that are sent together. */
const LONGEST_BATCH = 50;

/** Bytes of a line; a longer one is cut. */
const LONGEST_LINE = "64k";

function rsyslogConfiguration(url: URL, logs: string, folder: string): string {
	const https = url.protocol === "https:";
	const options = {
		server: url.hostname,
		serverport: url.port || (https ? "443" : "9200"),
		usehttps: https ? "on" : "off",
		...(url.username === "" ? {} : { uid: decodeURIComponent(url.username), pwd: decodeURIComponent(url.password) }),
		searchindex: "index",
		dynsearchindex: "on",
		searchtype: "",
		bulkmode: "on",
		errorfile: path.join(folder, "refused.json"),
		// In files: nothing is taken out of them before it has been sent.
		"queue.type": "Disk",
		"queue.checkpointinterval": "100",
		"queue.dequeuebatchsize": String(LONGEST_BATCH),
		"queue.maxdiskspace": "1g",
		"queue.saveonshutdown": "on",
		// As long as it takes.
		"action.resumeretrycount": "-1",
		"action.resumeinterval": "2",
		"action.resumeintervalmax": "10",
	};
	const send = (template: string) =>
		`action(type="omelasticsearch" template="${template}" queue.filename="${template}" ${Object.entries(options)
			.map(([name, value]) => `${name}=${quoted(value)}`)
			.join(" ")})`;
	return `global(workDirectory=${quoted(folder)} maxMessageSize="${LONGEST_LINE}")
module(load="imfile")
module(load="mmjsonparse")
module(load="omelasticsearch")
template(name="index" type="string" string="agentic-flow-%$year%.%$month%.%$day%")
template(name="json" type="string" string="%msg%")
template(name="plain" type="list" option.jsonf="on") {
	property(outname="@timestamp" name="timegenerated" dateFormat="rfc3339" format="jsonf")
	property(outname="log.file.path" name="$!metadata!filename" format="jsonf")
	property(outname="message" name="msg" format="jsonf")
}
ruleset(name="ship") {
	# Its own trouble would make more of it.
	if ($!metadata!filename == ${quoted(path.join(logs, `${LOGS}.log`))}) then stop
	action(type="mmjsonparse" cookie="" container="$!line")
	if ($parsesuccess == "OK") then ${send("json")}
	else ${send("plain")}
}
input(type="imfile" File=${quoted(path.join(logs, "*.log"))} Tag="agentic-flow" addMetadata="on" reopenOnTruncate="on" ruleset="ship")
`;
}

function quoted(text: string): string {
	return `"${text.replace(/[\\"]/g, "\\$&")}"`;
}

const datasource = path.join(import.meta.dirname, "..", "datasource.ts");

export interface GrafanaPlan {
	/** With a user that may change its data sources. */
	readonly url: string;
	/** Of HTTP: topologies on different ports have different data sources. */
	readonly topology: number;
	readonly prometheusPort: number;
}

/** Makes the topology's Prometheus a data source of a Grafana. It stays there: its panels are drawn from it again the next time. */
export function grafanaService({ url, topology, prometheusPort }: GrafanaPlan): Service {
	const name = `agentic-flow-${topology}`;
	return {
		...plainService,
		name: "grafana",
		role: "grafana",
		after: ["prometheus"],
		once: true,
		// The URL has a password in it: it is nobody's who lists processes.
		command: { program: process.execPath, args: [datasource, name, `http://${HOST}:${prometheusPort}`], env: { GRAFANA_URL: url } },
		ready: async () => true,
		inspect: async () => ({ at: withoutUser(url), source: name }),
	};
}
