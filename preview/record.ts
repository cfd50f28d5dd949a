/**
 * Runs a Pulumi program in this process, with no engine, provider or cloud, and records every resource it registers.
 *
 * The program is the very one the engine runs. The monitor here answers each registration as the engine does in a
 * preview: what was given is known, what a provider would compute is unknown. It does not apply a provider's own
 * defaults, check inputs against a provider's schema, read state, or invoke anything: an invoke is an error.
 */
import * as pulumi from "@pulumi/pulumi";
import resources from "@pulumi/pulumi/proto/resource_pb.js";
import structs from "google-protobuf/google/protobuf/struct_pb.js";
import { type RecordedValue, type ResourceRecord, SECRET, type StackRecord, UNKNOWN } from "../core/record.ts";

// The wire's own marks, as the engine's protocol defines them (@pulumi/pulumi runtime/rpc.ts).
const UNKNOWN_SENTINEL = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";
const SIGNATURE_KEY = "4dabf18193072939515e22adb298388d";
const SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270";
const STACK_TYPE = "pulumi:pulumi:Stack";

export interface RecordOptions {
	readonly project: string;
	readonly stack: string;
	/**
	 * Outputs that are known although no provider ran: `(type, name) -> properties`, beside the inputs.
	 * Rendering names its placeholders this way. A plain preview gives none.
	 */
	readonly answer?: (type: string, name: string) => Record<string, string>;
}

/**
 * The record of one run of `program`. Runs share the SDK's global state, so they are taken one after another.
 *
 * @throws what the program throws, and the first error of any registration.
 */
export async function record(options: RecordOptions, program: () => Promise<Record<string, unknown>>): Promise<StackRecord> {
	const run = queue.then(() => recordNow(options, program));
	queue = run.catch(() => undefined);
	return run;
}

let queue: Promise<unknown> = Promise.resolve();

async function recordNow(options: RecordOptions, program: () => Promise<Record<string, unknown>>): Promise<StackRecord> {
	const monitor = new RecordingMonitor(options);
	pulumi.runtime.setMockOptions(monitor, options.project, options.stack, true);
	const failure = catchRejections();
	try {
		await Promise.race([
			pulumi.runtime
				.runInPulumiStack(program)
				.then(() => pulumi.runtime.disconnect())
				.then(() => turns(1)),
			failure.promise,
		]);
	} catch (error) {
		// What one failure tears down with it fails a little later, and must not be taken for the next run's fault.
		await turns(SETTLING_TURNS);
		throw error;
	} finally {
		failure.stop();
	}
	return monitor.result();
}

/** An error inside an `apply` reaches nobody who awaits: it arrives as an unhandled rejection, and ends the run here. */
function catchRejections(): { promise: Promise<never>; stop: () => void } {
	let onRejection: (reason: unknown) => void = () => {};
	const promise = new Promise<never>((_resolve, reject) => {
		onRejection = reject;
	});
	promise.catch(() => undefined);
	process.on("unhandledRejection", onRejection);
	return { promise, stop: () => process.off("unhandledRejection", onRejection) };
}

/** Turns of the event loop in which all that hangs on a failed registration has failed too. */
const SETTLING_TURNS = 50;

/** Node reports unhandled rejections after the turn in which they happened. */
async function turns(count: number): Promise<void> {
	for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

type Callback<T> = (error: Error | null, response: T) => void;

/** Answers registrations as an engine does in a preview, and keeps them. Also the monitor behind a gRPC server in tests. */
export class RecordingMonitor {
	readonly #options: RecordOptions;
	readonly #resources = new Map<string, ResourceRecord>();
	#outputs: Record<string, RecordedValue> = {};

	constructor(options: RecordOptions) {
		this.#options = options;
	}

	/** All that was registered so far, ordered by URN. */
	result(): StackRecord {
		const all = [...this.#resources.values()].sort((a, b) => (a.urn < b.urn ? -1 : 1));
		return { stack: this.#options.stack, resources: all, outputs: sortedObject(this.#outputs) };
	}

	getDeploymentInfo(_request: unknown, callback: Callback<resources.DeploymentInfo>): void {
		const info = new resources.DeploymentInfo();
		const feature = resources.ResourceMonitorFeature;
		info.setSupportedfeaturesList([
			feature.RESOURCE_MONITOR_FEATURE_SECRETS,
			feature.RESOURCE_MONITOR_FEATURE_RESOURCE_REFERENCES,
			feature.RESOURCE_MONITOR_FEATURE_ALIAS_SPECS,
			feature.RESOURCE_MONITOR_FEATURE_DELETED_WITH,
		]);
		callback(null, info);
	}

	supportsFeature(request: { getId(): string }, callback: Callback<{ getHassupport(): boolean }>): void {
		const supported = request.getId() !== "outputValues";
		callback(null, { getHassupport: () => supported });
	}

	registerResource(request: resources.RegisterResourceRequest, callback: Callback<resources.RegisterResourceResponse>): void {
		const urn = this.#urn(request);
		if (this.#resources.has(urn)) {
			callback(new Error(`two resources have the URN ${urn}`), new resources.RegisterResourceResponse());
			return;
		}
		const given = request.getObject()?.toJavaScript() ?? {};
		this.#resources.set(urn, toRecord(urn, request, given));

		const response = new resources.RegisterResourceResponse();
		response.setUrn(urn);
		const { id = "", ...answers } = this.#options.answer?.(request.getType(), request.getName()) ?? {};
		response.setId(id);
		const outputs = { ...secretOutputs(request), ...answers, ...given };
		response.setObject(structs.Struct.fromJavaScript(outputs as Parameters<typeof structs.Struct.fromJavaScript>[0]));
		callback(null, response);
	}

	registerResourceOutputs(request: resources.RegisterResourceOutputsRequest, callback: Callback<object>): void {
		if (this.#resources.get(request.getUrn())?.type === STACK_TYPE) {
			this.#outputs = recordedObject(request.getOutputs()?.toJavaScript() ?? {});
		}
		callback(null, {});
	}

	invoke(request: resources.ResourceInvokeRequest, callback: Callback<object>): void {
		const details = `the program invokes ${request.getTok()}: settings must be complete without asking the cloud`;
		// The SDK takes an invoke's message from where gRPC puts it.
		callback(Object.assign(new Error(details), { details }), {});
	}

	readResource(request: resources.ReadResourceRequest, callback: Callback<object>): void {
		callback(new Error(`the program reads ${request.getType()} ${request.getName()}: nothing outside the stack is looked up`), {});
	}

	/** As the engine makes them: a child carries its parents' types, the stack's own excepted. */
	#urn(request: resources.RegisterResourceRequest): string {
		const parent = request.getParent();
		const parentType = parent === "" ? STACK_TYPE : (parent.split("::")[2] as string);
		const type = parentType === STACK_TYPE ? request.getType() : `${parentType}$${request.getType()}`;
		return `urn:pulumi:${this.#options.stack}::${this.#options.project}::${type}::${request.getName()}`;
	}
}

function toRecord(urn: string, request: resources.RegisterResourceRequest, given: Record<string, unknown>): ResourceRecord {
	const propertyDependencies: Record<string, string[]> = {};
	request.getPropertydependenciesMap().forEach((dependencies: resources.RegisterResourceRequest.PropertyDependencies, input: string) => {
		const urns = dependencies.getUrnsList();
		if (urns.length > 0) propertyDependencies[input] = [...urns].sort();
	});
	return {
		urn,
		type: request.getType(),
		name: request.getName(),
		parent: request.getParent() || null,
		custom: request.getCustom(),
		dependencies: [...request.getDependenciesList()].sort(),
		propertyDependencies: sortedObject(propertyDependencies),
		protect: request.getProtect() ?? false,
		retainOnDelete: request.getRetainondelete() ?? false,
		ignoreChanges: [...request.getIgnorechangesList()].sort(),
		// "<urn>::<id>"; the id is unknown before the provider exists.
		provider: request.getProvider().split("::").slice(0, 4).join("::") || null,
		inputs: recordedObject(given),
	};
}

/**
 * What a provider will generate as a secret (a password) is answered as a secret with nothing in it, so that
 * wherever it goes it is recorded as a secret, not merely as unknown.
 */
function secretOutputs(request: resources.RegisterResourceRequest): Record<string, unknown> {
	return Object.fromEntries(
		request.getAdditionalsecretoutputsList().map((output: string) => [output, { [SIGNATURE_KEY]: SECRET_SIGNATURE, value: "" }]),
	);
}

/** The wire's value with its marks replaced by ours. What is secret is dropped here, whole. */
function recorded(value: unknown): RecordedValue {
	if (value === UNKNOWN_SENTINEL) return UNKNOWN;
	if (Array.isArray(value)) return value.map(recorded);
	if (typeof value === "object" && value !== null) {
		const object = value as Record<string, unknown>;
		if (object[SIGNATURE_KEY] === SECRET_SIGNATURE) return SECRET;
		return recordedObject(object);
	}
	return value as RecordedValue;
}

function recordedObject(object: Record<string, unknown>): Record<string, RecordedValue> {
	return sortedObject(Object.fromEntries(Object.entries(object).map(([key, value]) => [key, recorded(value)])));
}

function sortedObject<T>(object: Readonly<Record<string, T>>): Record<string, T> {
	return Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)));
}
