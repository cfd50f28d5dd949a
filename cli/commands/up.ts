import { setTimeout as sleep } from "node:timers/promises";
import { OperationFailed, UserError } from "../../core/errors.ts";
import type { Order, Requests } from "../../local/control.ts";
import type { LocalSettings } from "../../local/settings.ts";
import { command, exitCodes, type Values } from "../command.ts";
import type { Io } from "../io.ts";
import { ask, type Place, placeOf, progress } from "../local.ts";
import { paintFor } from "../print/paint.ts";
import { loadConfig } from "../run-stack.ts";

/** Options that are settings of the topology, under the same names. */
const settingOptions = {
	nodes: { type: "string", value: "N", summary: "nodes, each a PM2 daemon with its workers: 1 to 20 (3)" },
	workers: { type: "string", value: "N", summary: "workers a node: 1 to 8 (as the stack has it)" },
	"job-workers": { type: "string", value: "N", summary: "job workers: 1 to 40 (as many as the stack has at least)" },
	port: { type: "string", value: "PORT", summary: "port of HTTP and Socket.IO; all others follow from it (3001)" },
	sockets: { type: "string", value: "N", summary: "WebSockets to make room for at the load balancer (as the stack has it)" },
	"legacy-open": { type: "boolean", summary: "let the original's clients in, which have no token" },
	"allow-shell": { type: "boolean", summary: "with --legacy-open: they may open terminals, and so run commands on this machine" },
	traces: { type: "string", value: "URL", summary: "an OTLP/HTTP receiver, such as Jaeger's: http://127.0.0.1:4318" },
	logs: { type: "string", value: "URL", summary: "an Elasticsearch that all logs go to: http://127.0.0.1:9200" },
	grafana: {
		type: "string",
		value: "URL",
		summary: "a Grafana that is to draw from this Prometheus: http://admin:password@127.0.0.1:3000",
	},
	env: { type: "string", value: "NAME=VALUE,...", summary: "more of the workers' environment" },
} as const;

const options = {
	stack: { type: "string", value: "STACK", summary: "whose settings: Pulumi.<stack>.yaml (dev)" },
	...settingOptions,
} as const;

export const upCommand = command({
	name: "up",
	summary: "the whole topology as processes of this machine, ready to use",
	details: [
		"HAProxy, nodes with PM2 and their workers, Redis with a replica and a Sentinel, PostgreSQL\nwith a synchronous standby and replicas, Prometheus and Alertmanager: all on loopback, all in\none folder. They go on when this command has ended, until flowctl down.",
		"A second up changes nothing. docs/local-differences.md says what differs from AWS.",
	],
	args: [],
	options,
	async run({ options: given, io }) {
		const settings = await settingsOf(given);
		const place = await placeOf(given.port, io);
		const order = await orderOf(given.stack ?? "dev", settings, place, io);
		const started = performance.now();
		const answer = await start(place, order, io);
		const seconds = ((performance.now() - started) / 1_000).toFixed(1);
		if (answer.already) await refuseOtherSettings(given, settings, answer.settings);
		io.stderr.write(answer.already ? "It is up already: nothing was changed.\n" : `Up in ${seconds} s.\n`);
		const { output } = await ask(place, "token", { words: ["login", "--token-id", answer.access.credentialId] });
		const { code } = JSON.parse(output) as { code: string };
		io.stdout.write(welcome(answer, code, io));
		return exitCodes.done;
	},
});

async function settingsOf(given: Values<typeof options>): Promise<LocalSettings> {
	const { readSettings } = await import("../../local/settings.ts");
	const named = Object.entries(given).flatMap(([name, value]) => (name in settingOptions ? [[settingOf(name), value]] : []));
	const { settings, faults } = readSettings(Object.fromEntries(named));
	if (settings === null) throw new UserError("the command line cannot be used", faults);
	return settings;
}

/** `legacy-open` is `legacyOpen` among the settings. */
function settingOf(option: string): string {
	return option.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** @throws UserError with all that keeps this machine from running it */
async function orderOf(stack: string, settings: LocalSettings, place: Place, io: Io): Promise<Order> {
	const [{ presence }, { diagnose, isAboutPorts }] = await Promise.all([import("../../local/client.ts"), import("../../local/doctor.ts")]);
	const config = await loadConfig(stack, io);
	const isOurs = async () => (await presence(place.layout)) !== "nothing";
	const look = (isUp: boolean) => diagnose({ config, settings, ...place }, isUp);
	const before = await isOurs();
	let found = await look(before);
	// Another up may have begun meanwhile, or be trying out the very same ports at this moment.
	for (let time = 0; time < 3 && !before && found.machine === null && isAboutPorts(found); time += 1) {
		await sleep(200);
		found = await look(await isOurs());
	}
	const { findings, machine } = found;
	if (machine === null) {
		const faults = findings.flatMap(({ at, is, what, fix }) => (is === "bad" ? [{ at, what, fix: fix ?? "" }] : []));
		throw new UserError("this machine cannot run it yet", faults);
	}
	return { stack, config, settings, machine };
}

/** Where this command is interrupted on the way, all that it has begun is stopped again. */
async function start(place: Place, order: Order, io: Io): Promise<Requests["up"]["answer"]> {
	const { startSupervisor } = await import("../../local/client.ts");
	const { tell, done } = progress(io);
	const interrupted = async () => {
		done();
		io.stderr.write("interrupted: stopping what was started\n");
		await ask(place, "down", { volumes: false }).catch(() => {});
		process.exit(130);
	};
	process.once("SIGINT", interrupted);
	try {
		await startSupervisor(place.layout).catch((error: Error) => {
			throw new OperationFailed("up failed", error.message, "flowctl doctor looks at the machine");
		});
		return await ask(place, "up", { order }, tell);
	} finally {
		process.off("SIGINT", interrupted);
		done();
	}
}

/** What is asked for and is not so would be a lie to pass over. */
async function refuseOtherSettings(given: Values<typeof options>, wanted: LocalSettings, running: LocalSettings): Promise<void> {
	const { optionOf, shown } = await import("../../local/settings.ts");
	const different = (Object.keys(wanted) as (keyof LocalSettings)[]).filter(
		(setting) =>
			given[optionOf(setting) as keyof typeof given] !== undefined && JSON.stringify(wanted[setting]) !== JSON.stringify(running[setting]),
	);
	if (different.length === 0) return;
	throw new UserError(
		"it is up already, with other settings",
		different.map((setting) => ({
			at: `--${optionOf(setting)}`,
			what: `is ${JSON.stringify(shown(running)[setting])} there, and not ${JSON.stringify(shown(wanted)[setting])}`,
			fix: setting === "nodes" ? `flowctl scale ${wanted.nodes} changes it while it runs` : "flowctl down, then up again with it",
		})),
	);
}

function welcome({ urls, access, absent, settings }: Requests["up"]["answer"], code: string, io: Io): string {
	const paint = paintFor(io.stdout, io);
	const port = settings.port === 3001 ? "" : ` --port ${settings.port}`;
	const flowctl = (words: string) => paint.cyan(`npm run flowctl -- ${words}${port}`);
	const label = (text: string) => paint.bold(text.padEnd(12));
	return [
		"",
		`${label("open")}${paint.cyan(`${urls.http}/#login=${code}`)}`,
		`${label("")}logs this browser in, once, within ten minutes; for another: ${flowctl("token login")}`,
		...Object.entries(urls).flatMap(([name, url]) => (name === "http" ? [] : [`${label(name)}${url}`])),
		`${label("token")}${access.token}`,
		"",
		paint.bold("Try"),
		`  ${paint.cyan(`curl -H "Authorization: Bearer ${access.token}" ${urls.http}/api/hive/status`)}`,
		`  ${flowctl("status")}`,
		`  ${flowctl("reload")}      all workers anew, without a failed request`,
		`  ${flowctl("scale 5")}     more nodes, or fewer`,
		`  ${flowctl("failover redis")}`,
		`  ${flowctl("down")}`,
		"",
		...(absent.length === 0 ? [] : [paint.dim("Not here"), ...absent.map(({ name, how }) => paint.dim(`  ${name}: ${how}`)), ""]),
	].join("\n");
}
