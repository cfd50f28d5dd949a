/** What a container or pod asks of a node. */
export interface Compute {
	/** Thousandths of a CPU. */
	readonly milliCpu: number;
	/** Mebibytes of memory. */
	readonly memoryMib: number;
}

/** Kubernetes' words for an amount of compute: `{cpu: "500m", memory: "256Mi"}`. */
export function quantities({ milliCpu, memoryMib }: Compute): { cpu: string; memory: string } {
	return { cpu: `${milliCpu}m`, memory: `${memoryMib}Mi` };
}

/** The sum of several amounts; zero of none. */
export function sumCompute(amounts: readonly Compute[]): Compute {
	return {
		milliCpu: amounts.reduce((sum, { milliCpu }) => sum + milliCpu, 0),
		memoryMib: amounts.reduce((sum, { memoryMib }) => sum + memoryMib, 0),
	};
}

/** An amount, `times` over. */
export function timesCompute({ milliCpu, memoryMib }: Compute, times: number): Compute {
	return { milliCpu: milliCpu * times, memoryMib: memoryMib * times };
}
