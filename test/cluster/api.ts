import { Agent, request } from "node:https";

/** What the API answered. */
export interface Answer {
	readonly status: number;
	// biome-ignore lint/suspicious/noExplicitAny: the API's JSON, of any kind
	readonly body: any;
	/** Texts of the `Warning` headers. */
	readonly warnings: readonly string[];
}

/** Any Kubernetes object, as YAML or JSON gives it. */
export interface KubernetesObject {
	readonly apiVersion: string;
	readonly kind: string;
	readonly metadata: { readonly name: string; readonly namespace?: string };
	readonly [field: string]: unknown;
}

interface Kind {
	readonly kind: string;
	readonly name: string;
	readonly namespaced: boolean;
}

interface PodTemplate {
	readonly metadata?: { readonly labels?: object; readonly annotations?: object };
	readonly spec: { readonly serviceAccountName?: string; readonly volumes?: readonly object[]; readonly [field: string]: unknown };
}

const FIELD_MANAGER = "agentic-flow";

/** A client of one API server: server-side apply, and what stands in for the controllers that are not there. */
export class Api {
	readonly url: string;
	readonly #token: string;
	readonly #agent: Agent;
	readonly #kinds = new Map<string, Promise<readonly Kind[]>>();

	constructor(url: string, { certificate, token }: { certificate: string; token: string }) {
		this.url = url;
		this.#token = token;
		this.#agent = new Agent({ ca: certificate, keepAlive: true });
	}

	/** One request. `body` is sent as JSON, and so is the answer read where it can be. */
	request(method: string, path: string, body?: unknown, contentType = "application/json"): Promise<Answer> {
		return new Promise((resolve, reject) => {
			const headers = { authorization: `Bearer ${this.#token}`, accept: "application/json", "content-type": contentType };
			const sent = request(`${this.url}${path}`, { method, agent: this.#agent, headers }, async (response) => {
				const text = (await response.setEncoding("utf8").toArray().catch(reject))?.join("") ?? "";
				const json = response.headers["content-type"]?.startsWith("application/json");
				const warnings = (response.headersDistinct.warning ?? []).map(warningText);
				resolve({ status: response.statusCode as number, body: json ? JSON.parse(text) : text, warnings });
			});
			sent.once("error", reject);
			sent.end(body === undefined ? undefined : JSON.stringify(body));
		});
	}

	/** Server-side apply, as the Pulumi provider and `kubectl apply --server-side` do it; unknown fields are refused. */
	async apply(object: KubernetesObject): Promise<Answer> {
		const query = `fieldManager=${FIELD_MANAGER}&force=false&fieldValidation=Strict`;
		const answer = await this.request("PATCH", `${await this.#pathOf(object)}?${query}`, object, "application/apply-patch+yaml");
		if (answer.status < 300) await this.#asControllersDo(object);
		return answer;
	}

	/** The object as the API has it now. */
	async read(object: KubernetesObject): Promise<Answer> {
		return this.request("GET", await this.#pathOf(object));
	}

	/**
	 * What the API says to a pod of this workload: Pod Security, service account, quota and limits take part, and nothing is
	 * kept. Undefined for an object that makes no pods.
	 */
	dryRunPod(workload: KubernetesObject): Promise<Answer> | undefined {
		const template = podTemplateOf(workload);
		if (!template) return undefined;
		const { name, namespace = "default" } = workload.metadata;
		const claims = (workload as { spec?: { volumeClaimTemplates?: readonly KubernetesObject[] } }).spec?.volumeClaimTemplates ?? [];
		const volumes = claims.map(({ metadata }) => ({
			name: metadata.name,
			persistentVolumeClaim: { claimName: `${metadata.name}-${name}-0` },
		}));
		const pod = {
			apiVersion: "v1",
			kind: "Pod",
			metadata: { ...template.metadata, name: `${name}-dry-run`, namespace },
			spec: { ...template.spec, volumes: [...(template.spec.volumes ?? []), ...volumes] },
		};
		return this.request("POST", `/api/v1/namespaces/${namespace}/pods?dryRun=All&fieldValidation=Strict`, pod);
	}

	/** Ends the connections that are kept open. */
	close(): void {
		this.#agent.destroy();
	}

	async #pathOf({ apiVersion, kind, metadata }: KubernetesObject): Promise<string> {
		const base = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
		let kinds = this.#kinds.get(base);
		if (!kinds) {
			kinds = this.request("GET", base).then(({ body }) => body.resources ?? []);
			this.#kinds.set(base, kinds);
		}
		const found = (await kinds).find((each) => each.kind === kind && !each.name.includes("/"));
		if (!found) throw new Error(`the API server has no kind ${kind} in ${apiVersion}`);
		const folder = found.namespaced ? `/namespaces/${metadata.namespace ?? "default"}` : "";
		return `${base}${folder}/${found.name}/${metadata.name}`;
	}

	/** The two things a controller manager does at once that later requests are judged by. */
	async #asControllersDo(object: KubernetesObject): Promise<void> {
		const { name, namespace = "default" } = object.metadata;
		if (object.kind === "Namespace") {
			await this.request("POST", `/api/v1/namespaces/${name}/serviceaccounts`, { metadata: { name: "default" } });
		}
		if (object.kind === "ResourceQuota") {
			const { hard = {} } = object.spec as { hard?: Record<string, string> };
			const used = Object.fromEntries(Object.keys(hard).map((resource) => [resource, "0"]));
			const path = `/api/v1/namespaces/${namespace}/resourcequotas/${name}/status`;
			await this.request("PATCH", path, { status: { hard, used } }, "application/merge-patch+json");
		}
	}
}

/** `299 - "text"` -> `text`. https://www.rfc-editor.org/rfc/rfc7234#section-5.5 */
function warningText(header: string): string {
	const quoted = /^\d{3} \S+ "(.*)"$/s.exec(header)?.[1] ?? header;
	return quoted.replace(/\\(.)/g, "$1");
}

function podTemplateOf({ kind, spec }: { kind: string; spec?: unknown }): PodTemplate | undefined {
	const of = spec as { template: PodTemplate; jobTemplate: { spec: { template: PodTemplate } } };
	if (["Deployment", "StatefulSet", "DaemonSet", "Job"].includes(kind)) return of.template;
	if (kind === "CronJob") return of.jobTemplate.spec.template;
	if (kind === "Pod") return { spec: spec as PodTemplate["spec"] };
	return undefined;
}
