// The smallest service of the Go SDK that checks request identity: main ADDRESS KEY
package main

import (
	"log"
	"net/http"
	"os"

	restate "github.com/restatedev/sdk-go"
	"github.com/restatedev/sdk-go/server"
)

func greet(_ restate.Context, name string) (string, error) {
	return name, nil
}

func main() {
	greeter := restate.NewService("Greeter").Handler("greet", restate.NewServiceHandler(greet))
	handler, err := server.NewRestate().WithIdentityV1(os.Args[2]).Bidirectional(false).Bind(greeter).Handler()
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe(os.Args[1], handler))
}
