// The transport by which servers of the `event-ws` family exchange the broadcasts of rooms: the one of wooks's
// documentation, with what a server needs beside it that is not alone.
import { randomUUID } from 'node:crypto'

export class RedisBroadcastTransport {
  // Another at each start.
  node = randomUUID()
  // The last command to subscribe: `SUBSCRIBE` is answered in order.
  subscribing = Promise.resolve()

  // Two connections: one that has subscribed can do nothing else.
  constructor(publisher, subscriber) {
    this.publisher = publisher
    this.subscriber = subscriber
  }

  // wooks says nowhere who publishes; without that a server hears itself, and its members get everything twice.
  publish(channel, payload) {
    const envelope = JSON.stringify({ ...JSON.parse(payload), node: this.node })
    // Nobody awaits it, and a rejection that nobody handles ends the process.
    this.publisher.publish(channel, envelope).catch(lost)
  }

  subscribe(channel, handler) {
    const others = payload => {
      if (!this.isOwn(payload)) handler(payload)
    }
    this.subscribing = this.subscriber.subscribe(channel, others).catch(lost)
  }

  unsubscribe(channel) {
    this.subscriber.unsubscribe(channel).catch(lost)
  }

  isOwn(payload) {
    try {
      return JSON.parse(payload).node === this.node
    } catch {
      // Garbage is nobody's; wooks ignores it.
      return false
    }
  }
}

function lost(error) {
  console.error(`the bus: ${error.message}`)
}
