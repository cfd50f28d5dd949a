/** The server's environment: settings under the names of its contract, and never a secret. */
import type { input } from "@pulumi/kubernetes/types/index.js";
import * as pulumi from "@pulumi/pulumi";
import { env, SECRETS_DIR } from "../app/contract.ts";
import type { Endpoint } from "../core/endpoint.ts";

/** A service whose address may not be known yet. */
export type ServiceEndpoint = Endpoint<pulumi.Input<string>>;

/** Where durable data is, and how many connections a process opens to it. */
export interface Postgres {
	readonly primary: ServiceEndpoint;
	readonly replicas: readonly ServiceEndpoint[];
	/** Name of the database. */
	readonly database: string;
	/** Connections of one process to the primary at most. */
	readonly poolPrimary: number;
	/** Connections of one process to each replica at most. */
	readonly poolReplica: number;
}

/** Everything that the server and the job workers keep their state in. */
export interface Stores {
	readonly redisState: ServiceEndpoint;
	readonly redisCache: ServiceEndpoint;
	readonly postgres: Postgres;
}

/** Values by the contract's name for them. */
export type Environment = { readonly [S in keyof typeof env]?: pulumi.Input<string> | number | boolean };

/** The environment of a container, in the contract's order. */
export function environmentOf(settings: Environment): input.core.v1.EnvVar[] {
	const all: Environment = { secretsDir: SECRETS_DIR, ...settings };
	return (Object.keys(env) as (keyof typeof env)[]).flatMap((setting) => {
		const value = all[setting];
		return value === undefined ? [] : [{ name: env[setting], value: typeof value === "object" ? value : `${value}` }];
	});
}

/** Settings of a process that uses all stores. */
export function storesEnvironment({ redisState, redisCache, postgres }: Stores): Environment {
	return {
		...stateEnvironment(redisState),
		redisCache: addressOf(redisCache),
		...databaseEnvironment(postgres),
		postgresReplicas: pulumi.all(postgres.replicas.map(addressOf)).apply((addresses) => addresses.join(",")),
		poolPrimary: postgres.poolPrimary,
		poolReplica: postgres.poolReplica,
	};
}

/** Settings of a process that uses only the state Redis. ElastiCache speaks nothing but TLS here. */
export function stateEnvironment(redisState: ServiceEndpoint): Environment {
	return { redisState: addressOf(redisState), redisTls: true };
}

/** Settings of a process that uses only the primary database, which refuses connections without TLS. */
export function databaseEnvironment({ primary, database }: Pick<Postgres, "primary" | "database">): Environment {
	return { postgresPrimary: addressOf(primary), postgresDatabase: database, postgresTls: true };
}

/** Every port that {@link Stores} are reached at, each once. */
export function portsOf({ redisState, redisCache, postgres }: Stores): number[] {
	return [...new Set([redisState, redisCache, postgres.primary, ...postgres.replicas].map(({ port }) => port))];
}

function addressOf({ host, port }: ServiceEndpoint): pulumi.Output<string> {
	return pulumi.interpolate`${host}:${port}`;
}
