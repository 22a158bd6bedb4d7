// A wooks server as its documentation has it, on a Redis with others: `node server.mjs redis://…`. It prints the ready
// line that wardroom prints.
import { createClient } from '@redis/client'
import { createWsApp, useWsConnection, useWsMessage, useWsRooms } from '@wooksjs/event-ws'
import { RedisBroadcastTransport } from './transport.mjs'

const [url, ...options] = process.argv.slice(2)
const [publisher, subscriber] = await Promise.all([connect(), connect()])
const transport = new RedisBroadcastTransport(publisher, subscriber)
// To show what the filter is for.
if (options.includes('--unfiltered')) transport.isOwn = () => false

const ws = createWsApp({ broadcastTransport: transport })

// A room is the path of the message; the second has a parameter twice, the third none.
for (const path of ['/chat/:room', '/pair/:n/:n', '/plain']) {
  ws.onMessage('join', path, async () => {
    useWsRooms().join()
    const { id } = useWsConnection()
    // Or what is published right after the answer would be missed.
    await transport.subscribing
    return { id }
  })

  ws.onMessage('leave', path, () => useWsRooms().leave())

  ws.onMessage('say', path, () => {
    const { data, excludeSelf } = useWsMessage().data
    useWsRooms().broadcast('said', data, { excludeSelf })
  })
}

await ws.listen(0, '127.0.0.1')
console.log(`ready listen=127.0.0.1:${ws.getServer().address().port}`)

async function connect() {
  const client = createClient({ url })
  client.on('error', error => console.error(`redis: ${error.message}`))
  return await client.connect()
}
