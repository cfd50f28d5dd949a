/**
 * Makes a Prometheus a data source of a Grafana, or brings it up to date there.
 *
 *     GRAFANA_URL=http://user:password@host:3000 node local/datasource.ts <name> <URL of Prometheus>
 *
 * Exits with 1, and says why, where Grafana is not there, is not Grafana, or does not let that user.
 */
const [name = "", prometheus = ""] = process.argv.slice(2);

try {
	const grafana = new URL(process.env.GRAFANA_URL ?? "");
	const ask = asking(grafana);
	const health = await ask("GET", "/api/health");
	if (health.status !== 200 || (health.body as { database?: unknown })?.database !== "ok")
		throw new Error(`what answers there is no Grafana that is well: GET /api/health says ${health.status}`);
	const source = { uid: name, name, type: "prometheus", access: "proxy", url: prometheus };
	const known = await ask("PUT", `/api/datasources/uid/${encodeURIComponent(name)}`, source);
	const made = known.status === 404 ? await ask("POST", "/api/datasources", source) : known;
	if (made.status === 401 || made.status === 403)
		throw new Error(`it lets nobody in with that user (${made.status}): write one into the URL who may change data sources`);
	if (made.status >= 300) throw new Error(`it does not take the data source: ${made.status} ${JSON.stringify(made.body)}`);
	console.log(`${name} is a data source of ${grafana.host}`);
} catch (error) {
	const { message, cause } = error as Error;
	console.error(`Grafana: ${cause instanceof Error ? cause.message || message : message}`);
	process.exitCode = 1;
}

function asking(grafana: URL) {
	const { username, password, origin, pathname } = grafana;
	const credentials = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString("base64");
	return async (method: string, path: string, body?: object): Promise<{ status: number; body: unknown }> => {
		const response = await fetch(`${origin}${pathname.replace(/\/$/, "")}${path}`, {
			method,
			headers: { "content-type": "application/json", ...(username === "" ? {} : { authorization: `Basic ${credentials}` }) },
			...(body === undefined ? {} : { body: JSON.stringify(body) }),
			signal: AbortSignal.timeout(5_000),
		});
		return { status: response.status, body: await response.json().catch(() => null) };
	};
}
