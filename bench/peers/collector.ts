/** Takes the traces that the topology sends, as an OTLP/HTTP receiver does, and forgets them. Argument: port. */
import { createServer } from "node:http";

createServer((request, response) => {
	request.resume();
	request.once("end", () => response.writeHead(200, { "content-type": "application/json" }).end("{}"));
}).listen(Number(process.argv[2]), "127.0.0.1", () => process.send?.("ready"));
process.once("disconnect", () => process.exit(0));
