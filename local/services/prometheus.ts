/** Prometheus and Alertmanager, as in the cluster but for where they find what they scrape. */
import { paths, ports, workerPorts } from "../../app/contract.ts";
import { HOST } from "../place.ts";
import { askHttp } from "./ask.ts";
import { plainService, type Service } from "./service.ts";

export interface PrometheusPlan {
	readonly program: string;
	readonly port: number;
	readonly folder: string;
	readonly alertmanagerPort: number | null;
	readonly nodes: readonly { readonly name: string; readonly address: string }[];
	readonly workersPerNode: number;
	readonly jobWorkers: readonly { readonly name: string; readonly address: string }[];
	readonly terminalHosts: readonly { readonly name: string; readonly address: string }[];
	readonly haproxyPorts: readonly number[];
}

export function prometheusService(plan: PrometheusPlan): Service {
	const { program, port, folder } = plan;
	const targets = `${folder}/targets.json`;
	return {
		...plainService,
		name: "prometheus",
		role: "prometheus",
		after: [],
		files: [
			{ path: `${folder}/prometheus.yaml`, text: configuration(plan, targets) },
			// Read again by itself when nodes come and go.
			{ path: targets, text: `${JSON.stringify(targetsOf(plan), null, 2)}\n` },
		],
		command: {
			program,
			args: [
				`--config.file=${folder}/prometheus.yaml`,
				`--storage.tsdb.path=${folder}/data`,
				"--storage.tsdb.retention.time=2d",
				`--web.listen-address=${HOST}:${port}`,
			],
		},
		ready: async () => (await askHttp(HOST, port, "/-/ready")).status === 200,
		async inspect() {
			const { body } = await askHttp(HOST, port, "/api/v1/query?query=sum(up)%2Fcount(up)");
			const value = (JSON.parse(body) as { data: { result: { value: [number, string] }[] } }).data.result[0]?.value[1];
			return { scraped: value === undefined ? null : `${Math.round(Number(value) * 100)} %` };
		},
	};
}

/** Text of prometheus.yml. JSON is YAML. */
function configuration({ alertmanagerPort, port }: PrometheusPlan, targets: string): string {
	const config = {
		global: { scrape_interval: "5s", evaluation_interval: "5s" },
		...(alertmanagerPort === null
			? {}
			: { alerting: { alertmanagers: [{ static_configs: [{ targets: [`${HOST}:${alertmanagerPort}`] }] }] } }),
		scrape_configs: [
			{ job_name: "agentic-flow", metrics_path: paths.metrics, file_sd_configs: [{ files: [targets], refresh_interval: "5s" }] },
			{ job_name: "prometheus", static_configs: [{ targets: [`${HOST}:${port}`] }] },
		],
	};
	return `${JSON.stringify(config, null, 2)}\n`;
}

function targetsOf({ nodes, workersPerNode, jobWorkers, terminalHosts, haproxyPorts }: PrometheusPlan) {
	return [
		...nodes.map(({ name, address }) => ({
			labels: { component: "server", node: name },
			targets: workerPorts(workersPerNode).map((port) => `${address}:${port + ports.metricsOffset}`),
		})),
		...jobWorkers.map(single("jobs")),
		...terminalHosts.map(single("terminal-host")),
		{ labels: { component: "haproxy" }, targets: haproxyPorts.map((port) => `${HOST}:${port}`) },
	];
}

/** A process that is alone at its address. */
function single(component: string) {
	return ({ name, address }: { readonly name: string; readonly address: string }) => ({
		labels: { component, node: name },
		targets: [`${address}:${ports.pod + ports.metricsOffset}`],
	});
}

export interface AlertmanagerPlan {
	readonly program: string;
	readonly port: number;
	readonly folder: string;
}

/** Keeps alerts to look at; they are sent to nobody. */
export function alertmanagerService({ program, port, folder }: AlertmanagerPlan): Service {
	const config = { route: { receiver: "nobody" }, receivers: [{ name: "nobody" }] };
	return {
		...plainService,
		name: "alertmanager",
		role: "alertmanager",
		after: [],
		files: [{ path: `${folder}/alertmanager.yaml`, text: `${JSON.stringify(config, null, 2)}\n` }],
		command: {
			program,
			args: [
				`--config.file=${folder}/alertmanager.yaml`,
				`--storage.path=${folder}/data`,
				`--web.listen-address=${HOST}:${port}`,
				// Alone: else it listens for others on every address.
				"--cluster.listen-address=",
			],
		},
		ready: async () => (await askHttp(HOST, port, "/-/ready")).status === 200,
		async inspect() {
			const { body } = await askHttp(HOST, port, "/api/v2/alerts");
			return { alerts: (JSON.parse(body) as unknown[]).length };
		},
	};
}
