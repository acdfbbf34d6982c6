"""Talks to `backscope mcp` with the Python client of the protocol's authors.

Arguments: the program, a process to watch. Prints what it saw as one JSON object.
"""

import asyncio
import json
import sys

from mcp import ClientSession, StdioServerParameters, stdio_client

program, pid = sys.argv[1], int(sys.argv[2])


async def main():
    server = StdioServerParameters(command=program, args=["mcp"])
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        tools = (await session.list_tools()).tools
        progress = []

        async def heard(done, total, message):
            progress.append(done)

        arguments = {"seconds": 4, "target": {"pid": [pid]}}
        result = await session.call_tool("watch_for", arguments, progress_callback=heard)
        answer = json.loads(result.content[0].text)
        try:
            unknown = str(await session.call_tool("exec", {}))
        except Exception as error:
            unknown = str(error)
        seen = {
            "tools": [tool.name for tool in tools],
            "read_only": all(
                tool.model_dump(by_alias=True)["annotations"]["readOnlyHint"] for tool in tools
            ),
            "progress": len(progress),
            "findings": [finding["kind"] for finding in answer["findings"]],
            "unknown_tool": unknown,
        }
        print(json.dumps(seen))


asyncio.run(main())
