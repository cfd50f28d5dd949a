/** What every daemon of the topology is to the supervisor. */

/** One program, told everything it has to know. */
export interface Command {
	readonly program: string;
	readonly args: readonly string[];
	readonly env?: Readonly<Record<string, string>>;
	/** Who runs it; absent for whoever runs the supervisor. */
	readonly user?: User | undefined;
}

export interface User {
	readonly uid: number;
	readonly gid: number;
}

/** A file that is written before a start. `once`: only where it is missing, because its daemon keeps it up to date. */
export interface File {
	readonly path: string;
	readonly text: string;
	readonly once?: true;
	readonly user?: User | undefined;
}

/** A folder of data: made by commands into `<folder>.partial`, and there only when all of them went well. */
export interface DataFolder {
	readonly folder: string;
	readonly user?: User | undefined;
	readonly commands: (partial: string) => readonly Command[];
	/** It is a copy: where its daemon does not become ready with it, it is made once more. */
	readonly copy: boolean;
	/** It is made anew at the next start, although it is there. */
	readonly renew?: boolean;
}

/** A few words on how a service is, by name. */
export type Facts = Readonly<Record<string, string | number | boolean | null>>;

/** One process of the topology. Making one does nothing; what it says is plain data, what it does is to ask. */
export interface Service {
	/** Unique, and the name of its log. */
	readonly name: string;
	/** Its part in the topology. */
	readonly role:
		| "redis"
		| "sentinel"
		| "postgres"
		| "jobs"
		| "terminal-host"
		| "migrate"
		| "node"
		| "haproxy"
		| "prometheus"
		| "alertmanager"
		| "logs"
		| "grafana";
	/** Names of the services that must be ready before it starts. */
	readonly after: readonly string[];
	readonly files: readonly File[];
	readonly data: DataFolder | null;
	readonly command: Command;
	/** It runs to its end, with code 0, and is ready then. */
	readonly once: boolean;
	/** How it is told to stop, and after how many milliseconds it is killed. */
	readonly stop: { readonly signal: NodeJS.Signals; readonly graceMs: number };
	/** Milliseconds it may take to become ready. */
	readonly startMs: number;
	/** Whether it does its work. Throwing is a no. */
	ready(): Promise<boolean>;
	/** What an operator wants to know. May throw where it does not answer. */
	inspect(): Promise<Facts>;
}

/** Fields that most services have alike. */
export const plainService = { files: [], data: null, once: false, startMs: 30_000, stop: { signal: "SIGTERM", graceMs: 10_000 } } as const;
